//! Both sides as DataFusion catalogs `backup` and `live`.
