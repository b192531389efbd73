//! The same message counts once, however often it is sent.
