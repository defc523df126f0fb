"""The only mathematics a person writes: one short file a layer, activation, cost, penalty or update rule."""
