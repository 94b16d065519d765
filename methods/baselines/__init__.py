"""Published methods that the paper does not compare with."""
