//! The functions that expressions may call: names, overloads, types.
//!
//! One line a function, in the order in which cel-go tries overloads. What a function does is in
//! `library`.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::types::{ObjectType, Type};

/// One way to call a function.
#[derive(Clone, Debug)]
pub struct Overload {
    pub id: &'static str,
    pub member: bool,
    pub args: Vec<Type>,
    pub result: Type,
    pub generic: bool,
}

/// `name: overload(args) result; …`; a dot before the parenthesis marks a member.
const TABLE: &str = "
_?_:_: conditional(bool, A, A) A
_&&_: logical_and(bool, bool) bool
_||_: logical_or(bool, bool) bool
!_: logical_not(bool) bool
@not_strictly_false: not_strictly_false(bool) bool
_==_: equals(A, A) bool
_!=_: not_equals(A, A) bool
_+_: add_bytes(bytes, bytes) bytes; add_double(double, double) double; add_duration_duration(duration, duration) duration; add_duration_timestamp(duration, timestamp) timestamp; add_timestamp_duration(timestamp, duration) timestamp; add_int64(int, int) int; add_list(list<A>, list<A>) list<A>; add_string(string, string) string; add_uint64(uint, uint) uint
_/_: divide_double(double, double) double; divide_int64(int, int) int; divide_uint64(uint, uint) uint
_%_: modulo_int64(int, int) int; modulo_uint64(uint, uint) uint
_*_: multiply_double(double, double) double; multiply_int64(int, int) int; multiply_uint64(uint, uint) uint
-_: negate_double(double) double; negate_int64(int) int
_-_: subtract_double(double, double) double; subtract_duration_duration(duration, duration) duration; subtract_int64(int, int) int; subtract_timestamp_duration(timestamp, duration) timestamp; subtract_timestamp_timestamp(timestamp, timestamp) duration; subtract_uint64(uint, uint) uint
_[_]: index_list(list<A>, int) A; index_map(map<A, B>, A) B; optional_list_index_int(optional<list<V>>, int) optional<V>; optional_map_index_value(optional<map<K, V>>, K) optional<V>
_[?_]: list_optindex_optional_int(list<V>, int) optional<V>; optional_list_optindex_optional_int(optional<list<V>>, int) optional<V>; map_optindex_optional_value(map<K, V>, K) optional<V>; optional_map_optindex_optional_value(optional<map<K, V>>, K) optional<V>
@in: in_list(A, list<A>) bool; in_map(A, map<A, B>) bool
size: size_bytes(bytes) int; bytes_size.(bytes) int; size_list(list<A>) int; list_size.(list<A>) int; size_map(map<A, B>) int; map_size.(map<A, B>) int; size_string(string) int; string_size.(string) int
type: type(A) type<A>
bool: bool_to_bool(bool) bool; string_to_bool(string) bool
bytes: bytes_to_bytes(bytes) bytes; string_to_bytes(string) bytes
double: double_to_double(double) double; int64_to_double(int) double; string_to_double(string) double; uint64_to_double(uint) double
duration: duration_to_duration(duration) duration; int64_to_duration(int) duration; string_to_duration(string) duration
dyn: to_dyn(A) dyn
int: int64_to_int64(int) int; double_to_int64(double) int; duration_to_int64(duration) int; string_to_int64(string) int; timestamp_to_int64(timestamp) int; uint64_to_int64(uint) int
string: string_to_string(string) string; bool_to_string(bool) string; bytes_to_string(bytes) string; double_to_string(double) string; duration_to_string(duration) string; int64_to_string(int) string; timestamp_to_string(timestamp) string; uint64_to_string(uint) string; ip_to_string(IP) string; cidr_to_string(CIDR) string
timestamp: timestamp_to_timestamp(timestamp) timestamp; int64_to_timestamp(int) timestamp; string_to_timestamp(string) timestamp
uint: uint64_to_uint64(uint) uint; double_to_uint64(double) uint; int64_to_uint64(int) uint; string_to_uint64(string) uint
contains: contains_string.(string, string) bool
endsWith: ends_with_string.(string, string) bool
startsWith: starts_with_string.(string, string) bool
matches: matches(string, string) bool; matches_string.(string, string) bool
getFullYear: timestamp_to_year.(timestamp) int; timestamp_to_year_with_tz.(timestamp, string) int
getMonth: timestamp_to_month.(timestamp) int; timestamp_to_month_with_tz.(timestamp, string) int
getDayOfYear: timestamp_to_day_of_year.(timestamp) int; timestamp_to_day_of_year_with_tz.(timestamp, string) int
getDayOfMonth: timestamp_to_day_of_month.(timestamp) int; timestamp_to_day_of_month_with_tz.(timestamp, string) int
getDate: timestamp_to_day_of_month_1_based.(timestamp) int; timestamp_to_day_of_month_1_based_with_tz.(timestamp, string) int
getDayOfWeek: timestamp_to_day_of_week.(timestamp) int; timestamp_to_day_of_week_with_tz.(timestamp, string) int
getHours: timestamp_to_hours.(timestamp) int; timestamp_to_hours_with_tz.(timestamp, string) int; duration_to_hours.(duration) int
getMinutes: timestamp_to_minutes.(timestamp) int; timestamp_to_minutes_with_tz.(timestamp, string) int; duration_to_minutes.(duration) int
getSeconds: timestamp_to_seconds.(timestamp) int; timestamp_to_seconds_tz.(timestamp, string) int; duration_to_seconds.(duration) int
getMilliseconds: timestamp_to_milliseconds.(timestamp) int; timestamp_to_milliseconds_with_tz.(timestamp, string) int; duration_to_milliseconds.(duration) int
optional.of: optional_of(V) optional<V>
optional.ofNonZeroValue: optional_ofNonZeroValue(V) optional<V>
optional.none: optional_none() optional<V>
value: optional_value.(optional<V>) V
hasValue: optional_hasValue.(optional<V>) bool
or: optional_or_optional.(optional<V>, optional<V>) optional<V>
orValue: optional_orValue_value.(optional<V>, V) V
first: list_first.(list<V>) optional<V>
last: list_last.(list<V>) optional<V>
optional.unwrap: optional_unwrap(list<optional<V>>) list<V>
unwrapOpt: optional_unwrapOpt.(list<optional<V>>) list<V>
cel.@mapInsert: @mapInsert_map_map(map<K, V>, map<K, V>) map<K, V>; @mapInsert_map_key_value(map<K, V>, K, V) map<K, V>
charAt: string_char_at_int.(string, int) string
indexOf: string_index_of_string.(string, string) int; string_index_of_string_int.(string, string, int) int; list_a_index_of_int.(list<A>, A) int
lastIndexOf: string_last_index_of_string.(string, string) int; string_last_index_of_string_int.(string, string, int) int; list_a_last_index_of_int.(list<A>, A) int
lowerAscii: string_lower_ascii.(string) string
upperAscii: string_upper_ascii.(string) string
replace: string_replace_string_string.(string, string, string) string; string_replace_string_string_int.(string, string, string, int) string
split: string_split_string.(string, string) list<string>; string_split_string_int.(string, string, int) list<string>
substring: string_substring_int.(string, int) string; string_substring_int_int.(string, int, int) string
trim: string_trim.(string) string
format: string_format.(string, list<dyn>) string
strings.quote: strings_quote(string) string
join: list_join.(list<string>) string; list_join_string.(list<string>, string) string
sets.contains: list_sets_contains_list(list<T>, list<T>) bool
sets.equivalent: list_sets_equivalent_list(list<T>, list<T>) bool
sets.intersects: list_sets_intersects_list(list<T>, list<T>) bool
isSorted: list_int_is_sorted_bool.(list<int>) bool; list_uint_is_sorted_bool.(list<uint>) bool; list_double_is_sorted_bool.(list<double>) bool; list_bool_is_sorted_bool.(list<bool>) bool; list_duration_is_sorted_bool.(list<duration>) bool; list_timestamp_is_sorted_bool.(list<timestamp>) bool; list_string_is_sorted_bool.(list<string>) bool; list_bytes_is_sorted_bool.(list<bytes>) bool
sum: list_int_sum_int.(list<int>) int; list_uint_sum_uint.(list<uint>) uint; list_double_sum_double.(list<double>) double; list_duration_sum_duration.(list<duration>) duration
max: list_int_max_int.(list<int>) int; list_uint_max_uint.(list<uint>) uint; list_double_max_double.(list<double>) double; list_bool_max_bool.(list<bool>) bool; list_duration_max_duration.(list<duration>) duration; list_timestamp_max_timestamp.(list<timestamp>) timestamp; list_string_max_string.(list<string>) string; list_bytes_max_bytes.(list<bytes>) bytes
min: list_int_min_int.(list<int>) int; list_uint_min_uint.(list<uint>) uint; list_double_min_double.(list<double>) double; list_bool_min_bool.(list<bool>) bool; list_duration_min_duration.(list<duration>) duration; list_timestamp_min_timestamp.(list<timestamp>) timestamp; list_string_min_string.(list<string>) string; list_bytes_min_bytes.(list<bytes>) bytes
find: string_find_string.(string, string) string
findAll: string_find_all_string.(string, string) list<string>; string_find_all_string_int.(string, string, int) list<string>
url: string_to_url(string) URL
isURL: is_url_string(string) bool
getScheme: url_get_scheme.(URL) string
getHost: url_get_host.(URL) string
getHostname: url_get_hostname.(URL) string
getPort: url_get_port.(URL) string
getEscapedPath: url_get_escaped_path.(URL) string
getQuery: url_get_query.(URL) map<string, list<string>>
quantity: string_to_quantity(string) Quantity
isQuantity: is_quantity_string(string) bool
sign: quantity_sign(Quantity) int
isGreaterThan: quantity_is_greater_than.(Quantity, Quantity) bool; semver_is_greater_than.(Semver, Semver) bool
isLessThan: quantity_is_less_than.(Quantity, Quantity) bool; semver_is_less_than.(Semver, Semver) bool
compareTo: quantity_compare_to.(Quantity, Quantity) int; semver_compare_to.(Semver, Semver) int
asApproximateFloat: quantity_get_float.(Quantity) double
asInteger: quantity_get_int.(Quantity) int
isInteger: quantity_is_integer.(Quantity) bool
add: quantity_add.(Quantity, Quantity) Quantity; quantity_add_int.(Quantity, int) Quantity
sub: quantity_sub.(Quantity, Quantity) Quantity; quantity_sub_int.(Quantity, int) Quantity
ip: string_to_ip(string) IP; cidr_ip.(CIDR) IP
family: ip_family.(IP) int
ip.isCanonical: ip_is_canonical(string) bool
isUnspecified: ip_is_unspecified.(IP) bool
isLoopback: ip_is_loopback.(IP) bool
isLinkLocalMulticast: ip_is_link_local_multicast.(IP) bool
isLinkLocalUnicast: ip_is_link_local_unicast.(IP) bool
isGlobalUnicast: ip_is_global_unicast.(IP) bool
isIP: is_ip(string) bool
cidr: string_to_cidr(string) CIDR
containsIP: cidr_contains_ip_string.(CIDR, string) bool; cidr_contains_ip_ip.(CIDR, IP) bool
containsCIDR: cidr_contains_cidr_string.(CIDR, string) bool; cidr_contains_cidr.(CIDR, CIDR) bool
prefixLength: cidr_prefix_length.(CIDR) int
masked: cidr_masked.(CIDR) CIDR
isCIDR: is_cidr(string) bool
semver: string_to_semver(string) Semver; string_bool_to_semver(string, bool) Semver
isSemver: is_semver_string(string) bool; is_semver_string_bool(string, bool) bool
major: semver_major.(Semver) int
minor: semver_minor.(Semver) int
patch: semver_patch.(Semver) int
validate: format-validate.(Format, string) optional<list<string>>
format.named: format-named(string) optional<Format>
format.dns1123Label: format-constant() Format
format.dns1123Subdomain: format-constant() Format
format.dns1035Label: format-constant() Format
format.qualifiedName: format-constant() Format
format.dns1123LabelPrefix: format-constant() Format
format.dns1123SubdomainPrefix: format-constant() Format
format.dns1035LabelPrefix: format-constant() Format
format.labelValue: format-constant() Format
format.uri: format-constant() Format
format.uuid: format-constant() Format
format.byte: format-constant() Format
format.date: format-constant() Format
format.datetime: format-constant() Format
path: authorizer_path.(Authorizer, string) PathCheck
serviceAccount: authorizer_service_account.(Authorizer, string, string) Authorizer
group: authorizer_group.(Authorizer, string) GroupCheck
resource: groupcheck_resource.(GroupCheck, string) ResourceCheck
subresource: resourcecheck_subresource.(ResourceCheck, string) ResourceCheck
namespace: resourcecheck_namespace.(ResourceCheck, string) ResourceCheck
name: resourcecheck_name.(ResourceCheck, string) ResourceCheck
check: pathcheck_check.(PathCheck, string) Decision; resourcecheck_check.(ResourceCheck, string) Decision
errored: decision_errored.(Decision) bool
error: decision_error.(Decision) string
allowed: decision_allowed.(Decision) bool
reason: decision_reason.(Decision) string
";

/// Comparisons: the overload's stem for each operator, and the pairs it compares.
const COMPARISONS: [(&str, &str); 4] =
    [("_<_", "less"), ("_<=_", "less_equals"), ("_>_", "greater"), ("_>=_", "greater_equals")];
const COMPARED: [(&str, &str, &str); 14] = [
    ("bool", "bool", "bool"),
    ("int64", "int", "int"),
    ("int64_double", "int", "double"),
    ("int64_uint64", "int", "uint"),
    ("uint64", "uint", "uint"),
    ("uint64_double", "uint", "double"),
    ("uint64_int64", "uint", "int"),
    ("double", "double", "double"),
    ("double_int64", "double", "int"),
    ("double_uint64", "double", "uint"),
    ("string", "string", "string"),
    ("bytes", "bytes", "bytes"),
    ("timestamp", "timestamp", "timestamp"),
    ("duration", "duration", "duration"),
];

/// All overloads of a function.
pub fn lookup(name: &str) -> Option<&'static [Overload]> {
    static FUNCTIONS: OnceLock<HashMap<String, Vec<Overload>>> = OnceLock::new();
    FUNCTIONS.get_or_init(build).get(name).map(Vec::as_slice)
}

fn build() -> HashMap<String, Vec<Overload>> {
    let mut functions = HashMap::new();
    for line in TABLE.lines().filter(|line| !line.is_empty()) {
        let Some((name, overloads)) = line.split_once(": ") else { continue };
        functions.insert(name.to_owned(), overloads.split("; ").filter_map(overload).collect());
    }
    for (operator, stem) in COMPARISONS {
        let make = |(suffix, left, right): &(&str, &str, &str)| {
            // The table lives as long as the program, and so may its names.
            let id: &'static str = Box::leak(format!("{stem}_{suffix}").into_boxed_str());
            Overload { id, member: false, args: vec![plain(left), plain(right)], result: Type::Bool, generic: false }
        };
        functions.insert(operator.to_owned(), COMPARED.iter().map(make).collect());
    }
    functions
}

fn overload(text: &'static str) -> Option<Overload> {
    let (head, rest) = text.split_once('(')?;
    let (args, result) = rest.rsplit_once(") ")?;
    let args: Vec<Type> = split(args).into_iter().map(read).collect();
    let generic = args.iter().chain([&read(result)]).any(has_params);
    Some(Overload { id: head.trim_end_matches('.'), member: head.ends_with('.'), args, result: read(result), generic })
}

fn has_params(of: &Type) -> bool {
    match of {
        Type::Param(_) => true,
        Type::List(items) => has_params(items),
        Type::Map(keys, values) => has_params(keys) || has_params(values),
        Type::Opaque(_, params) => params.iter().any(has_params),
        Type::Type(inner) => inner.as_deref().is_some_and(has_params),
        _ => false,
    }
}

/// Splits at commas outside of angle brackets.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(text[start..].trim());
    }
    parts
}

fn read(text: &str) -> Type {
    let Some((head, inner)) = text.strip_suffix('>').and_then(|text| text.split_once('<')) else { return plain(text) };
    let mut params = split(inner).into_iter().map(read);
    let first = params.next().unwrap_or(Type::Dyn);
    match head {
        "list" => Type::list(first),
        "map" => Type::map(first, params.next().unwrap_or(Type::Dyn)),
        "optional" => Type::optional(first),
        _ => Type::Type(Some(Arc::new(first))),
    }
}

fn plain(name: &str) -> Type {
    match name {
        "dyn" => Type::Dyn,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::Text,
        "bytes" => Type::Bytes,
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        "IP" => Type::Opaque("net.IP", Vec::new()),
        "CIDR" => Type::Opaque("net.CIDR", Vec::new()),
        "URL" => value_type("kubernetes.URL"),
        "Quantity" => value_type("kubernetes.Quantity"),
        "Semver" => value_type("kubernetes.Semver"),
        "Format" => value_type("kubernetes.NamedFormat"),
        "Authorizer" => value_type("kubernetes.authorization.Authorizer"),
        "PathCheck" => value_type("kubernetes.authorization.PathCheck"),
        "GroupCheck" => value_type("kubernetes.authorization.GroupCheck"),
        "ResourceCheck" => value_type("kubernetes.authorization.ResourceCheck"),
        "Decision" => value_type("kubernetes.authorization.Decision"),
        param => Type::Param(Arc::from(param)),
    }
}

fn value_type(name: &str) -> Type {
    Type::Object(Arc::new(ObjectType { name: name.to_owned(), fields: None }))
}

/// The type that an identifier names, and the name that `type(x)` gives for it.
pub fn type_identifier(name: &str) -> Option<(Type, &'static str)> {
    let params = || (Type::Param(Arc::from("A")), Type::Param(Arc::from("B")));
    Some(match name {
        "bool" => (Type::Bool, "bool"),
        "bytes" => (Type::Bytes, "bytes"),
        "double" => (Type::Double, "double"),
        "google.protobuf.Duration" => (Type::Duration, "google.protobuf.Duration"),
        "int" => (Type::Int, "int"),
        "list" => (Type::list(params().0), "list"),
        "map" => (Type::map(params().0, params().1), "map"),
        "null_type" => (Type::Null, "null_type"),
        "string" => (Type::Text, "string"),
        "google.protobuf.Timestamp" => (Type::Timestamp, "google.protobuf.Timestamp"),
        "type" => (Type::Type(None), "type"),
        "uint" => (Type::Uint, "uint"),
        "optional_type" => (Type::optional(Type::Param(Arc::from("V"))), "optional_type"),
        // Names of declarations, which no program knows.
        "duration" => (Type::Duration, "duration"),
        "timestamp" => (Type::Timestamp, "timestamp"),
        "net.IP" => (plain("IP"), "net.IP"),
        "net.CIDR" => (plain("CIDR"), "net.CIDR"),
        "kubernetes.URL" => (plain("URL"), "kubernetes.URL"),
        "kubernetes.Quantity" => (plain("Quantity"), "kubernetes.Quantity"),
        "kubernetes.Semver" => (plain("Semver"), "kubernetes.Semver"),
        "kubernetes.NamedFormat" => (plain("Format"), "kubernetes.NamedFormat"),
        _ => return None,
    })
}
