//! The table as Parquet: one optional column each, times as timestamps in nanoseconds, Zstandard.

use std::io::{self, Write};
use std::sync::Arc;

use ::parquet::basic::{
    Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel,
};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::Type as Node;
use tracer_model::Finding;

use super::row::{COLUMNS, Row, Type, Value};

/// Rows per row group. A group is kept in memory until it is complete.
const GROUP: usize = 16_384;

/// The known values of one column in a group.
enum Cells {
    Text(Vec<ByteArray>),
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
}

/// A Parquet table in the making.
pub(super) struct Parquet<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    /// For each column its known values, and for each row whether its value is known (1 or 0).
    cells: Vec<(Cells, Vec<i16>)>,
    rows: usize,
}

impl<W: Write + Send> Parquet<W> {
    pub(super) fn new(out: W) -> io::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("tracer ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let schema = schema().map_err(io::Error::other)?;
        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties));
        Ok(Self {
            writer: writer.map_err(io::Error::other)?,
            cells: empty(),
            rows: 0,
        })
    }

    pub(super) fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        for ((cells, known), cell) in self.cells.iter_mut().zip(Row::of(finding).into_cells()) {
            known.push(i16::from(cell.is_some()));
            match (cells, cell) {
                (Cells::Text(all), Some(Value::Text(text))) => all.push(text.as_ref().into()),
                (Cells::Int(all), Some(Value::Int(number))) => all.push(number),
                (Cells::Int(all), Some(Value::Time(at))) => all.push(at.0),
                (Cells::Float(all), Some(Value::Float(number))) => all.push(number),
                (Cells::Bool(all), Some(Value::Bool(yes))) => all.push(yes),
                // A cell whose type is not its column's counts as unknown.
                (_, Some(_)) => known.splice(known.len() - 1.., [0]).for_each(drop),
                (_, None) => {}
            }
        }
        self.rows += 1;
        if self.rows == GROUP {
            self.write_group().map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for (cells, known) in std::mem::replace(&mut self.cells, empty()) {
            let Some(mut column) = group.next_column()? else {
                break;
            };
            let known = Some(&known[..]);
            match &cells {
                Cells::Text(all) => column
                    .typed::<ByteArrayType>()
                    .write_batch(all, known, None),
                Cells::Int(all) => column.typed::<Int64Type>().write_batch(all, known, None),
                Cells::Float(all) => column.typed::<DoubleType>().write_batch(all, known, None),
                Cells::Bool(all) => column.typed::<BoolType>().write_batch(all, known, None),
            }?;
            column.close()?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        if self.rows > 0 {
            self.write_group().map_err(io::Error::other)?;
        }
        self.writer.into_inner().map_err(io::Error::other)
    }
}

fn empty() -> Vec<(Cells, Vec<i16>)> {
    let cells = |kind| match kind {
        Type::Text => Cells::Text(Vec::new()),
        Type::Int | Type::Time => Cells::Int(Vec::new()),
        Type::Float => Cells::Float(Vec::new()),
        Type::Bool => Cells::Bool(Vec::new()),
    };
    COLUMNS
        .iter()
        .map(|column| (cells(column.kind), Vec::new()))
        .collect()
}

fn schema() -> Result<Node, ParquetError> {
    let fields = COLUMNS.iter().map(|column| {
        let (physical, logical) = match column.kind {
            Type::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Type::Int => (Physical::INT64, None),
            Type::Float => (Physical::DOUBLE, None),
            Type::Bool => (Physical::BOOLEAN, None),
            Type::Time => {
                let utc = true;
                let time = LogicalType::timestamp(utc, TimeUnit::NANOS);
                (Physical::INT64, Some(time))
            }
        };
        let field = Node::primitive_type_builder(column.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical);
        field.build().map(Arc::new)
    });
    Node::group_type_builder("findings")
        .with_fields(fields.collect::<Result<_, _>>()?)
        .build()
}
