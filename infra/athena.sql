-- Tables in Athena over the reports in the memory's bucket. Replace MEMORY_BUCKET, ACCOUNT_ID and REGION: the last two can
-- be lists, separated by commas. Then run each statement.
--
-- Athena derives the partitions from the keys, so no crawler is needed. Times are texts: from_iso8601_timestamp(startedAt)
-- reads one. Counts are null for a repository that could not be read, whose row has an errorCode.

CREATE EXTERNAL TABLE ecr_cleanup_repositories (
  runId string,
  startedAt string,
  dryRun boolean,
  outcome string,
  repositoryName string,
  errorCode string,
  images bigint,
  imagesInUse bigint,
  imagesKept bigint,
  imagesStale bigint,
  imagesDeleted bigint,
  imagesArchived bigint,
  imagesFailed bigint,
  bytes bigint,
  bytesInUse bigint,
  bytesKept bigint,
  bytesStale bigint,
  bytesDeleted bigint
)
PARTITIONED BY (dt string, account string, region string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
LOCATION 's3://MEMORY_BUCKET/ecr-cleanup/reports/repositories/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = 'NOW-400DAYS,NOW',
  'projection.account.type' = 'enum',
  'projection.account.values' = 'ACCOUNT_ID',
  'projection.region.type' = 'enum',
  'projection.region.values' = 'REGION',
  'storage.location.template' = 's3://MEMORY_BUCKET/ecr-cleanup/reports/repositories/dt=${dt}/account=${account}/region=${region}/'
);

CREATE EXTERNAL TABLE ecr_cleanup_deleted (
  runId string,
  startedAt string,
  repositoryName string,
  imageDigest string,
  imageTags array<string>,
  imagePushedAt string,
  imageSizeInBytes bigint,
  result string,
  reasonCode string,
  reason string
)
PARTITIONED BY (dt string, account string, region string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
LOCATION 's3://MEMORY_BUCKET/ecr-cleanup/reports/deleted/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = 'NOW-400DAYS,NOW',
  'projection.account.type' = 'enum',
  'projection.account.values' = 'ACCOUNT_ID',
  'projection.region.type' = 'enum',
  'projection.region.values' = 'REGION',
  'storage.location.template' = 's3://MEMORY_BUCKET/ecr-cleanup/reports/deleted/dt=${dt}/account=${account}/region=${region}/'
);

-- The stale bytes of each repository, by day.
SELECT dt, repositoryName, max(bytesStale) AS bytesStale
FROM ecr_cleanup_repositories
GROUP BY dt, repositoryName
ORDER BY dt DESC, bytesStale DESC;

-- When and why an image was deleted.
SELECT startedAt, repositoryName, imageTags, reason
FROM ecr_cleanup_deleted
WHERE imageDigest = 'sha256:0000000000000000000000000000000000000000000000000000000000000000';
