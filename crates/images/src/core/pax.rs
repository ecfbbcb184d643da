//! Extended headers of tar files: names, sizes, attributes and holes.
//!
//! Form: POSIX.1-2001 `pax`, and GNU tar's `GNU.sparse.*` keywords.

/// A text that is no extended header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an extended header is damaged: {0}")]
pub struct PaxError(pub &'static str);

/// Bytes of a sparse file that are in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub length: u64,
}

/// What extended headers say of the next entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extended {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub user: Option<u64>,
    pub group: Option<u64>,
    /// Whole seconds since 1970 and nanoseconds.
    pub modified: Option<(i64, u32)>,
    /// Extended attributes of the file.
    pub attributes: Vec<(String, Vec<u8>)>,
    pub sparse: Sparse,
}

/// What is said of holes, in the three forms that GNU tar has had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sparse {
    /// 1 where the map comes before the data.
    pub major: Option<u64>,
    pub real_size: Option<u64>,
    pub extents: Vec<Extent>,
    offset: Option<u64>,
}

impl Extended {
    /// Takes the records of one header: `LENGTH KEY=VALUE\n`.
    ///
    /// # Errors
    /// [`PaxError`] with what is wrong.
    pub fn take(&mut self, mut bytes: &[u8]) -> Result<(), PaxError> {
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ').ok_or(PaxError("a record has no length"))?;
            let length = usize::try_from(number(&bytes[..space])?).map_err(|_| PaxError("a record is too long"))?;
            if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
                return Err(PaxError("a record's length is not its own"));
            }
            let record = &bytes[space + 1..length - 1];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(PaxError("a record has no ="))?;
            self.record(&record[..equals], &record[equals + 1..])?;
            bytes = &bytes[length..];
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), PaxError> {
        match key {
            b"path" | b"GNU.sparse.name" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number(value)?),
            b"uid" => self.user = Some(number(value)?),
            b"gid" => self.group = Some(number(value)?),
            b"mtime" => self.modified = Some(time(value)?),
            b"GNU.sparse.major" => self.sparse.major = Some(number(value)?),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.real_size = Some(number(value)?),
            b"GNU.sparse.offset" => self.sparse.offset = Some(number(value)?),
            b"GNU.sparse.numbytes" => {
                let offset = self.sparse.offset.take().ok_or(PaxError("a hole has no offset"))?;
                self.sparse.extents.push(Extent { offset, length: number(value)? });
            }
            b"GNU.sparse.map" => self.sparse.extents = map(value)?,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    let name = String::from_utf8(name.to_vec()).map_err(|_| PaxError("an attribute's name"))?;
                    self.attributes.push((name, value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// A number in decimal digits.
///
/// # Errors
/// [`PaxError`] when it is none.
pub fn number(bytes: &[u8]) -> Result<u64, PaxError> {
    let is_number = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(bytes).ok().filter(|_| is_number);
    text.and_then(|text| text.parse().ok()).ok_or(PaxError("a number is none"))
}

/// Seconds with a fraction; before 1970 with a sign.
fn time(value: &[u8]) -> Result<(i64, u32), PaxError> {
    let fault = PaxError("a time is none");
    let text = std::str::from_utf8(value).map_err(|_| fault.clone())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().map_err(|_| fault.clone())?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fault);
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().map_err(|_| fault)?;
    // Before 1970 the fraction counts downwards.
    if whole.starts_with('-') && nanoseconds > 0 {
        return Ok((seconds - 1, 1_000_000_000 - nanoseconds));
    }
    Ok((seconds, nanoseconds))
}

fn map(value: &[u8]) -> Result<Vec<Extent>, PaxError> {
    let numbers = value.split(|byte| *byte == b',').map(number).collect::<Result<Vec<_>, _>>()?;
    let pairs = numbers.chunks(2);
    pairs
        .map(|pair| match pair {
            [offset, length] => Ok(Extent { offset: *offset, length: *length }),
            _ => Err(PaxError("a map of holes has an odd count")),
        })
        .collect()
}

/// Refuses extents that overlap, run backwards or go beyond the file.
///
/// # Errors
/// [`PaxError`] when they do.
pub fn check_extents(extents: &[Extent], real_size: u64) -> Result<(), PaxError> {
    let mut end = 0;
    for extent in extents {
        let next = extent.offset.checked_add(extent.length).ok_or(PaxError("a map of holes is out of bounds"))?;
        if extent.offset < end || next > real_size {
            return Err(PaxError("a map of holes is out of order or bounds"));
        }
        end = next;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(text: &str) -> Result<Extended, PaxError> {
        let mut extended = Extended::default();
        extended.take(text.as_bytes()).map(|()| extended)
    }

    #[test]
    fn records_say_what_a_header_has_no_room_for() {
        let extended = taken(
            "12 path=a/b\n15 size=123456\n16 mtime=10.5xx\n".replace("16 mtime=10.5xx\n", "14 mtime=10.5\n").as_str(),
        )
        .unwrap();
        assert_eq!(extended.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!((extended.size, extended.modified), (Some(123_456), Some((10, 500_000_000))));
        let extended = taken("25 SCHILY.xattr.user.a=x\n").unwrap();
        assert_eq!(extended.attributes, [("user.a".to_owned(), b"x".to_vec())]);
        assert_eq!(taken("15 mtime=-1.25\n").unwrap().modified, Some((-2, 750_000_000)));
    }

    #[test]
    fn damaged_records_are_refused() {
        for bad in
            ["x", "5 a", "0 a=b\n", "99 a=b\n", "6 a=bc\n", "5 ab\n", "10 size=-\n", "99999999999999999999 a=b\n"]
        {
            assert!(taken(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn holes_are_within_the_file_and_in_order() {
        let extended = taken("27 GNU.sparse.map=0,5,10,5\n").unwrap();
        assert_eq!(extended.sparse.extents.len(), 2);
        assert!(check_extents(&extended.sparse.extents, 15).is_ok());
        assert!(check_extents(&extended.sparse.extents, 14).is_err());
        let back = [Extent { offset: 5, length: 5 }, Extent { offset: 9, length: 1 }];
        assert!(check_extents(&back, 100).is_err());
        assert!(check_extents(&[Extent { offset: u64::MAX, length: 2 }], u64::MAX).is_err());
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_fail(bytes in any::<Vec<u8>>()) {
            let _ = Extended::default().take(&bytes);
        }
    }
}
