//! Small lessons on made-up pictures.
