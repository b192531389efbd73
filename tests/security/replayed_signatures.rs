//! Nobody speaks by a signed message of somebody else: a signature proves what it signed, once, to whom it was written.
