"""Values as people and programs ask for them: ranges, downsampled, exported, live."""
