"""A trained detector in other runtimes' formats, each looked at with the evaluator that looked at the detector."""
