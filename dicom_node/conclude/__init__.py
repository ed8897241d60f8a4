"""Room three: when a study is whole, and who gets what was found in it."""
