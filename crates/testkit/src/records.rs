//! Record stores for tests, so that one suite runs on each engine: see [`on_each_store`](crate::on_each_store).

use ferroflow_platform::records::Records;
use tempfile::TempDir;

use crate::postgres;

/// An engine of the record store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    Sqlite,
    Postgres,
}

/// An empty store of a test.
pub struct TestRecords {
    pub records: Records,
    place: Place,
}

enum Place {
    File(TempDir),
    Database(String),
}

impl Store {
    /// A new store, which is empty.
    pub async fn open(self) -> TestRecords {
        let place = match self {
            Self::Sqlite => Place::File(tempfile::tempdir().expect("a temporary directory")),
            Self::Postgres => {
                Place::Database(postgres::shared().expect("the package postgresql is installed").database())
            }
        };
        TestRecords { records: open(&place).await, place }
    }
}

impl TestRecords {
    /// Opens the store once more, as another process would.
    pub async fn again(&self) -> Records {
        open(&self.place).await
    }
}

async fn open(place: &Place) -> Records {
    match place {
        Place::File(directory) => {
            let failed = Box::new(|error| panic!("the disk refused a write: {error}"));
            Records::open(&directory.path().join("records.db"), failed).expect("the store opens")
        }
        Place::Database(url) => Records::connect(url).await.expect("the store opens"),
    }
}

/// Makes two tests, `sqlite::NAME` and `postgres::NAME`, of each `async fn NAME(store: Store)`. Where PostgreSQL is not
/// installed the second one says that it is skipped.
#[macro_export]
macro_rules! on_each_store {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::records::Store::Sqlite).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $name() {
                    if $crate::postgres::is_there(stringify!($name)) {
                        super::$name($crate::records::Store::Postgres).await;
                    }
                }
            )+
        }
    };
}
