//! Image files -> RGB pixels of the size a network wants, equal to what PIL makes of them.
