"""Labels that do not come from the generator: a segmenter trained on people's labels, and how far it agrees.

Decides which constructed labels training may see. Refuses to learn from synthetic pictures: a checker that had seen
the generator's work would agree with its mistakes.

    report = train_labeler(real, config.train_labeler, out=work, scratch=scratch, seed=0, threads=2, on_progress=silent)
    agreement = annotate(labeler, synthetic, config.label, writer=writer, on_progress=silent)
"""
