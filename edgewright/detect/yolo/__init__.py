"""YOLO of any family, trained by ultralytics, behind one door (`library`)."""
