"""From a model and problems to judged attempts, likelihoods and what they are worth."""
