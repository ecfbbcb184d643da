//! Random expressions of CEL that are numbers, text, times, lists, maps or optional values.

use rand::RngExt;

use super::cel_expressions::{Kind, Writer};
use super::crd_cases::pick;

impl Writer<'_> {
    pub fn int(&mut self, depth: u32) -> String {
        match self.rng.random_range(0..14) {
            0..=3 => {
                let (left, right) = self.two(Kind::Int, depth);
                let operator = self.pick(&["+", "-", "*", "/", "%"]);
                format!("({left} {operator} {right})")
            }
            4 => {
                let kind = pick(self.rng, &[Kind::Text, Kind::Ints, Kind::Texts, Kind::Map, Kind::Bytes]);
                let value = self.expr(kind, depth);
                if self.chance(50) { format!("size({value})") } else { format!("{value}.size()") }
            }
            5 => {
                let kind = pick(self.rng, &[Kind::Text, Kind::Double, Kind::Uint, Kind::Time, Kind::Duration]);
                let value = self.expr(kind, depth);
                format!("int({value})")
            }
            6 => {
                let list = self.expr(Kind::Ints, depth);
                let name = self.pick(&["sum", "max", "min"]);
                format!("{list}.{name}()")
            }
            7 => {
                let list = self.expr(Kind::Ints, depth);
                let index = self.expr(Kind::Int, depth.min(1));
                format!("{list}[{index}]")
            }
            8 => {
                let map = self.expr(Kind::Map, depth);
                let key = self.expr(Kind::Text, depth.min(1));
                if self.chance(70) { format!("{map}[{key}]") } else { format!("{map}.a") }
            }
            9 => {
                let time = self.expr(Kind::Time, depth);
                let name = self.pick(&[
                    "getFullYear",
                    "getMonth",
                    "getDate",
                    "getDayOfMonth",
                    "getDayOfWeek",
                    "getDayOfYear",
                    "getHours",
                    "getMinutes",
                    "getSeconds",
                    "getMilliseconds",
                ]);
                let zone = self.pick(&["", "", "'+02:30'", "'-08:00'", "'UTC'"]);
                format!("{time}.{name}({zone})")
            }
            10 => {
                let duration = self.expr(Kind::Duration, depth);
                let name = self.pick(&["getHours", "getMinutes", "getSeconds", "getMilliseconds"]);
                format!("{duration}.{name}()")
            }
            11 => {
                let name = self.pick(&["indexOf", "lastIndexOf"]);
                let (text, part) = self.two(Kind::Text, depth);
                if self.chance(70) { format!("{text}.{name}({part})") } else { format!("{text}.{name}({part}, 1)") }
            }
            12 => {
                let optional = self.expr(Kind::OptInt, depth);
                let other = self.expr(Kind::Int, depth.min(1));
                if self.chance(75) { format!("{optional}.orValue({other})") } else { format!("{optional}.value()") }
            }
            _ => {
                let condition = self.expr(Kind::Bool, depth);
                let (left, right) = self.two(Kind::Int, depth);
                format!("({condition} ? {left} : {right})")
            }
        }
    }

    pub fn uint(&mut self, depth: u32) -> String {
        let (left, right) = self.two(Kind::Uint, depth);
        let operator = self.pick(&["+", "-", "*", "/", "%"]);
        if self.chance(50) {
            format!("({left} {operator} {right})")
        } else {
            format!("uint({})", self.expr(Kind::Int, depth))
        }
    }

    pub fn double(&mut self, depth: u32) -> String {
        let (left, right) = self.two(Kind::Double, depth);
        let operator = self.pick(&["+", "-", "*", "/"]);
        match self.rng.random_range(0..3) {
            0 => format!("double({})", self.expr(Kind::Int, depth)),
            1 => format!("double({})", self.expr(Kind::Text, depth)),
            _ => format!("({left} {operator} {right})"),
        }
    }

    pub fn text(&mut self, depth: u32) -> String {
        match self.rng.random_range(0..13) {
            0 | 1 => {
                let (left, right) = self.two(Kind::Text, depth);
                format!("({left} + {right})")
            }
            2 => {
                let kind = pick(
                    self.rng,
                    &[
                        Kind::Int,
                        Kind::Double,
                        Kind::Bool,
                        Kind::Time,
                        Kind::Duration,
                        Kind::Bytes,
                        Kind::Uint,
                        Kind::Ip,
                    ],
                );
                format!("string({})", self.expr(kind, depth))
            }
            3 => {
                let text = self.expr(Kind::Text, depth);
                let name = self.pick(&["lowerAscii()", "upperAscii()", "trim()", "charAt(0)", "charAt(9)"]);
                format!("{text}.{name}")
            }
            4 => {
                let text = self.expr(Kind::Text, depth);
                let start = self.expr(Kind::Int, 0);
                if self.chance(50) {
                    format!("{text}.substring({start})")
                } else {
                    format!("{text}.substring(0, {start})")
                }
            }
            5 => {
                let (text, from) = self.two(Kind::Text, depth);
                format!("{text}.replace({from}, 'Z')")
            }
            6 => {
                let list = self.expr(Kind::Texts, depth);
                let separator = self.pick(&["", "','", "''"]);
                format!("{list}.join({separator})")
            }
            7 => {
                let list = self.expr(Kind::Texts, depth);
                let index = self.expr(Kind::Int, 0);
                format!("{list}[{index}]")
            }
            8 => {
                let text = self.expr(Kind::Text, depth);
                format!("{text}.find('[a-z]+')")
            }
            9 => {
                let optional = self.expr(Kind::OptText, depth);
                let other = self.expr(Kind::Text, 0);
                format!("{optional}.orValue({other})")
            }
            10 => {
                let (number, text) = (self.expr(Kind::Int, depth), self.expr(Kind::Text, depth));
                format!("'%d is %s'.format([{number}, {text}])")
            }
            11 => format!("strings.quote({})", self.expr(Kind::Text, depth)),
            _ => {
                let condition = self.expr(Kind::Bool, depth);
                let (left, right) = self.two(Kind::Text, depth);
                format!("({condition} ? {left} : {right})")
            }
        }
    }

    pub fn time(&mut self, depth: u32) -> String {
        let (time, duration) = (self.expr(Kind::Time, depth), self.expr(Kind::Duration, depth));
        let operator = self.pick(&["+", "-"]);
        format!("({time} {operator} {duration})")
    }

    pub fn duration(&mut self, depth: u32) -> String {
        if self.chance(50) {
            let (left, right) = self.two(Kind::Time, depth);
            return format!("({left} - {right})");
        }
        let (left, right) = self.two(Kind::Duration, depth);
        format!("({left} + {right})")
    }

    pub fn ints(&mut self, depth: u32) -> String {
        match self.rng.random_range(0..6) {
            0 => {
                let (left, right) = self.two(Kind::Ints, depth);
                format!("({left} + {right})")
            }
            1 => {
                let (first, second) = self.two(Kind::Int, depth);
                format!("[{first}, {second}]")
            }
            2 => {
                let list = self.expr(Kind::Ints, depth);
                let (variable, body) = self.bind(Kind::Int, Kind::Bool, depth);
                format!("{list}.filter({variable}, {body})")
            }
            3 => {
                let list = self.expr(Kind::Texts, depth);
                let (variable, body) = self.bind(Kind::Text, Kind::Int, depth);
                format!("{list}.map({variable}, {body})")
            }
            4 => {
                let map = self.walked_map(depth);
                let (variable, body) = self.bind(Kind::Int, Kind::Int, depth);
                format!("{map}.transformList(kk, {variable}, {body})")
            }
            _ => {
                let optional = self.expr(Kind::OptInt, depth);
                let first = self.expr(Kind::Int, 0);
                format!("[{first}, ?{optional}]")
            }
        }
    }

    pub fn texts(&mut self, depth: u32) -> String {
        match self.rng.random_range(0..6) {
            0 => {
                let (left, right) = self.two(Kind::Texts, depth);
                format!("({left} + {right})")
            }
            1 => {
                let text = self.expr(Kind::Text, depth);
                let separator = self.pick(&["','", "''", "' '"]);
                let limit = self.pick(&["", "", ", 2", ", 0"]);
                format!("{text}.split({separator}{limit})")
            }
            2 => {
                let text = self.expr(Kind::Text, depth);
                format!("{text}.findAll('[a-z]')")
            }
            3 => {
                let list = self.expr(Kind::Texts, depth);
                let (variable, body) = self.bind(Kind::Text, Kind::Text, depth);
                format!("{list}.map({variable}, {body})")
            }
            4 => {
                let map = self.walked_map(depth);
                let (variable, body) = self.bind(Kind::Text, Kind::Bool, depth);
                format!("{map}.filter({variable}, {body})")
            }
            _ => {
                let (first, second) = self.two(Kind::Text, depth);
                format!("[{first}, {second}]")
            }
        }
    }

    pub fn walked_map(&mut self, depth: u32) -> String {
        self.walks = true;
        self.expr(Kind::Map, depth)
    }

    pub fn map(&mut self, depth: u32) -> String {
        if self.chance(50) {
            let (key, value) = (self.expr(Kind::Text, depth), self.expr(Kind::Int, depth));
            return format!("{{{key}: {value}}}");
        }
        let map = self.walked_map(depth);
        let (variable, body) = self.bind(Kind::Int, Kind::Int, depth);
        format!("{map}.transformMap(kk, {variable}, {body})")
    }

    pub fn opt_int(&mut self, depth: u32) -> String {
        match self.rng.random_range(0..5) {
            0 => format!("optional.of({})", self.expr(Kind::Int, depth)),
            1 => format!("optional.ofNonZeroValue({})", self.expr(Kind::Int, depth)),
            2 => {
                let (left, right) = self.two(Kind::OptInt, depth);
                format!("{left}.or({right})")
            }
            3 => {
                let optional = self.expr(Kind::OptInt, depth);
                let (variable, body) = self.bind(Kind::Int, Kind::Int, depth);
                format!("{optional}.optMap({variable}, {body})")
            }
            _ => {
                let list = self.expr(Kind::Ints, depth);
                let index = self.expr(Kind::Int, 0);
                format!("{list}[?{index}]")
            }
        }
    }

    pub fn opt_text(&mut self, depth: u32) -> String {
        let text = self.expr(Kind::Text, depth);
        let name = self.pick(&["of", "ofNonZeroValue"]);
        format!("optional.{name}({text})")
    }
}
