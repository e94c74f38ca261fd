"""EfficientDet-lite: its graph, how it learns, how it becomes one file. No line of ultralytics is imported here."""
