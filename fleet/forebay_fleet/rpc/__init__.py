"""The port where programs ask for values by gRPC."""
