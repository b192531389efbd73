//! What is erased is gone, and the history still proves the rest.
