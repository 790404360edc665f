"""The notifier (the publication's AP notification unit 20c): delivers to an application on this node."""
