use super::*;

fn check(text: &str, printed: &str) {
    match Quantity::parse(text) {
        Ok(quantity) => assert_eq!(quantity.to_string(), printed, "{text}"),
        Err(error) => assert_eq!(error.to_string(), printed, "{text}"),
    }
}

#[test]
fn quantities_print_as_the_upstream_library_prints_them() {
    let rows = [
        ("0", "0"),
        ("+", "0"),
        (".", "0"),
        ("0.5", "500m"),
        ("1", "1"),
        ("+1", "+1"),
        ("1.001", "1.001"),
        ("1000", "1k"),
        ("1024Ki", "1Mi"),
        ("1025Ki", "1025Ki"),
        ("1.5Gi", "1536Mi"),
        ("0.1Ki", "102400m"),
        ("100Ei", "9223372036854775807"),
        ("-100Ei", "-9223372036854775807"),
        ("1Ei", "1Ei"),
        ("12e6", "12e6"),
        ("1.5e7", "1.5e7"),
        ("1.5e8", "150e6"),
        ("1E", "1E"),
        ("1000E", "1"),
        ("1e-20", "1e-9"),
        ("0.0000000001", "1n"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("12345678901234567890000", "12345678901234567890k"),
        ("-0.5", "-500m"),
    ];
    for (text, printed) in rows {
        check(text, printed);
    }
}

#[test]
fn a_bad_quantity_says_what_upstream_says() {
    for text in ["", "a", "1..2", "1 ", "1e5x", "1Gi1x", "é"] {
        assert_eq!(Quantity::parse(text), Err(Error::Format), "{text}");
    }
    for text in ["--1", "1e", "1ee5", "1Gii", "1K", "1e99999999999999999999", "1mm"] {
        assert_eq!(Quantity::parse(text), Err(Error::Suffix), "{text}");
    }
    assert_eq!(Quantity::parse(".e-10"), Err(Error::Numeric));
}

#[test]
fn sums_and_differences_are_exact() {
    let sum = |left: &str, right: &str| {
        let mut sum: Quantity = left.parse().unwrap();
        sum.add(&right.parse().unwrap());
        sum.to_string()
    };
    let difference = |left: &str, right: &str| {
        let mut difference: Quantity = left.parse().unwrap();
        difference.sub(&right.parse().unwrap());
        difference.to_string()
    };
    assert_eq!(sum("1", "500m"), "1500m");
    assert_eq!(sum("0", "1Ki"), "1Ki");
    assert_eq!(sum("1Gi", "512Mi"), "1536Mi");
    assert_eq!(sum("9E", "9E"), "18E");
    assert_eq!(difference("1Gi", "1Gi"), "0");
    assert_eq!(difference("1Ki", "1"), "1023");
    assert_eq!(difference("2Ei", "4Ei"), "-2Ei");
}

#[test]
fn quantities_order_by_their_number() {
    let quantity = |text: &str| text.parse::<Quantity>().unwrap();
    assert_eq!(quantity("1"), quantity("1000m"));
    assert!(quantity("1Gi") > quantity("1G"));
    assert!(quantity("-1") < quantity("1n"));
    assert!(quantity("100Pi") < quantity("1Ei"));
    assert!(quantity("1e2000000000") > quantity("12345678901234567890"));
}

#[test]
fn values_round_up() {
    let quantity = |text: &str| text.parse::<Quantity>().unwrap();
    assert_eq!(quantity("1500m").value(), 2);
    assert_eq!(quantity("-1500m").value(), -2);
    assert_eq!(quantity("1n").milli_value(), 1);
    assert_eq!(quantity("2").milli_value(), 2000);
    assert_eq!(quantity("1Ei").value(), 1 << 60);
    assert_eq!(quantity("1e30").value(), 0);
}

#[test]
fn rounding_up_to_milli_keeps_coarser_text() {
    let round = |text: &str| {
        let mut quantity: Quantity = text.parse().unwrap();
        quantity.round_up(scale::MILLI);
        quantity.to_string()
    };
    assert_eq!(round("1.001"), "1.001");
    assert_eq!(round("1u"), "1m");
    assert_eq!(round("1000001u"), "1001m");
}

#[test]
fn huge_exponents_cost_nothing() {
    for text in ["1e2147483647", "1e-2147483648", "12345678901234567890e2147483647", "1.5e-2147483648"] {
        let mut quantity: Quantity = text.parse().unwrap();
        quantity.add(&Quantity::from_value(1, Format::DecimalSi));
        quantity.value();
        let _ = quantity.to_string();
    }
}
