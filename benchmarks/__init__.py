"""Speed against the alternatives: ratios measured in one run, repetitions interleaved, medians reported."""
