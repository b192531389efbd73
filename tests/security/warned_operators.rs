//! The operator is told of settings that open a door.
