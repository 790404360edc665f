"""The state monitors (20a): one small module each, observations in, events out."""
