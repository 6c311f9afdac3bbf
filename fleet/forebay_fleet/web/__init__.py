"""The page that a fleet is run from."""
