//! The wire format of protobuf: tags, varints and length-delimited parts.

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the message ends early")]
    Truncated,
    #[error("a number is longer than ten bytes")]
    LongNumber,
    #[error("wire type {0} is not known")]
    WireType(u64),
}

/// The value of a field, not yet interpreted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Raw<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in order.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Malformed::Truncated)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed::LongNumber)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (part, rest) = self.0.split_at_checked(length).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(part)
    }

    fn fixed(&mut self, length: usize) -> Result<u64, Malformed> {
        let bytes = self.take(length)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    fn field(&mut self) -> Result<(u64, Raw<'a>), Malformed> {
        let tag = self.varint()?;
        let raw = match tag & 7 {
            0 => Raw::Number(self.varint()?),
            1 => Raw::Number(self.fixed(8)?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
                Raw::Bytes(self.take(length)?)
            }
            5 => Raw::Number(self.fixed(4)?),
            other => return Err(Malformed::WireType(other)),
        };
        Ok((tag >> 3, raw))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Raw<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}
