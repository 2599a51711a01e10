//! Signals, soft and hard cancellation, and supervised tasks.
