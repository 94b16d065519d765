"""Published methods that FedOPAL's paper does not compare with."""
