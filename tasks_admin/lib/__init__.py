"""Small modules that know nothing of the app: names, texts and rules that everything else uses."""
