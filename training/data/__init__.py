"""Where films come from: what each data set says, in one form."""
