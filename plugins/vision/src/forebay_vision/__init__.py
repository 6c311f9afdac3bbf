"""What defect a picture of a surface shows, and where."""
