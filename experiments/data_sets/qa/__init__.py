"""Quality of a data set at scale: duplicates, rejects, balance, parameters against their priors, spoilt pictures."""
