//! The values of a metric's label, as a closed enum.

/// A closed set of values of one label.
pub trait Label: Copy + 'static {
    /// All values, each at its [`index`](Label::index).
    const ALL: &'static [Self];

    /// The position in [`ALL`](Label::ALL).
    fn index(self) -> usize;

    /// The value as it is exported.
    fn label(self) -> &'static str;
}

/// Declares an enum and, for each of its variants, the value of the label.
macro_rules! labels {
    (
        $(#[$about:meta])*
        pub enum $name:ident {
            $($(#[$when:meta])* $variant:ident = $label:literal,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$when])* $variant,)+
        }

        impl $crate::util::Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn index(self) -> usize {
                self as usize
            }

            fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }
        }
    };
}

pub(crate) use labels;
