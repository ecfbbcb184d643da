//! Fuzzes `ferroflow_fuzz::targets::selector`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: ferroflow_fuzz::seeds::write_if_asked(), |data: &[u8]| {
    ferroflow_fuzz::targets::selector(data);
});
