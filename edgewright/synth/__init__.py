"""Synthetic images from a few real ones: layouts, crops, a small GAN, and the compositor that puts them together.

Decides where objects stand, what they look like and what their labels are: labels come by construction, never from a
guess. Reads real, labeled images of the `train` split alone. Refuses to judge what it makes: the gates do.

    report = train_generator(dataset, config, out=work, scratch=scratch, seed=0, threads=2, on_progress=silent)
    report = generate(artifact, dataset, config, writer=writer, seed=0, on_progress=silent)
"""
