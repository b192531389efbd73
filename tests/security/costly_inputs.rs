//! No input costs more than its size deserves.
