"""What each box is to run, and what it says of itself: signed states, their files, reports."""
