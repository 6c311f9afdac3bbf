"""What many boxes are to run: labels, templates with each box's own values, rollouts in waves."""
