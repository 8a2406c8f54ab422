//! Hostile images and neighbours.
