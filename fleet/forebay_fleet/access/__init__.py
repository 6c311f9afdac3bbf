"""Who may look at the fleet and change it: people, sessions, tokens of programs, the trail."""
