//! Nobody speaks as his neighbour at the same provider.
