"""Does the gate refuse bad pictures that are made on purpose, and admit real ones?"""
