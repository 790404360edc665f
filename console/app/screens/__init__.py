"""The screens: they compose widgets, handle messages, and ask through the app's fetcher; no screen reads by itself."""
