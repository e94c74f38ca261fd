"""The simulated camera: an inspection line that gives photographs, their exact truth, and a device's feed.

Decides what the world of the demo looks like. It stands in for photographs where a newcomer has none; whatever shows
its pictures calls them simulated.

    camera = SimulatedCamera(seed=0)
    photograph = camera.photograph(7)          # the same picture each time
    photograph.image, photograph.boxes         # (192, 256, 3) uint8 RGB, Boxes of the visible pixels
"""
