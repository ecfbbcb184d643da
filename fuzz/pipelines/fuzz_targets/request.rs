//! Fuzzes `ferroflow_fuzz_pipelines::targets::request`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: ferroflow_fuzz_pipelines::seeds::write_if_asked(), |data: &[u8]| {
    ferroflow_fuzz_pipelines::targets::request(data);
});
