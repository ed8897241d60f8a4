"""How the weights that the node ships come about: data, recipe, training, evaluation, export."""
