package catalogue

var (
	sqlStarts = nounsOf(`
		select with values table insert update delete merge replace upsert truncate drop create alter grant
		revoke deny copy unload call exec execute do set lock explain load`)
	// sqlAlone begin no question that people ask.
	sqlAlone = nounsOf(`
		select truncate vacuum alter drop grant revoke exec execute reindex merge upsert attach detach
		pragma prepare deallocate shutdown declare begin`)
	// sqlObjects are what statements create and drop.
	sqlObjects = nounsOf(`
		table database schema view index user role login function procedure trigger sequence type domain
		extension policy materialized column constraint keyspace warehouse stage pipe stream task share
		catalog collation conversion cast aggregate operator rule server language publication subscription
		tablespace event package synonym credential certificate key partition statistics group tables owned
		profile resource external virtual foreign dictionary quota collection class system session
		privileges default privilege user_defined assembly queue service logfile instance fulltext spatial`)
	sqlModifiers = nounsOf(`
		or temp temporary unique global local unlogged if concurrently clustered nonclustered recursive
		force editionable transient dynamic hybrid bitmap only secure aggregate definer algorithm`)
	readPragmas = nounsOf(`
		table_info table_xinfo table_list index_list index_info index_xinfo foreign_key_list database_list
		function_list integrity_check quick_check foreign_key_check compile_options collation_list
		module_list pragma_list`)
	// sqlKeywords stand before brackets and call nothing.
	sqlKeywords = nounsOf(`
		select from where and or not in exists any all some as on using join inner outer left right full
		cross lateral natural having by order group limit offset fetch union intersect except minus distinct
		case when then else end over partition within filter values row rows range between like ilike rlike
		regexp similar is null set with recursive returning array table cube rollup grouping sets window
		qualify pivot unpivot only materialized top percent interval escape collate at zone into update for
		share nowait skip unnest insert conflict do nothing key default primary unique references check
		foreign begin return struct map tablesample bernoulli index use force ignore xor div mod`)
	// beforeNames are words behind which a name with brackets is no call: of a type, a table with
	// its columns.
	beforeNamesWithColumns = nounsOf(`as into table update :`)
	systemSchemas          = nounsOf(`pg_catalog information_schema sys safe std`)
	// harmless are functions that every database has in some form and that leave nothing behind.
	harmlessFunctions = nounsOf(`
		count sum avg min max stddev stddev_pop stddev_samp variance var_pop var_samp median mode corr
		covar_pop covar_samp regr_slope regr_intercept regr_r2 bit_and bit_or bit_xor bool_and bool_or every
		any_value string_agg group_concat listagg array_agg json_agg jsonb_agg json_object_agg
		jsonb_object_agg xmlagg count_if countif sumif approx_count_distinct approx_distinct
		approx_percentile approx_quantiles percentile_cont percentile_disc quantile row_number rank
		dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value first last arg_max
		arg_min argmax argmin max_by min_by uniq coalesce nullif ifnull nvl nvl2 isnull iif if decode
		greatest least choose zeroifnull try_cast safe_cast cast convert try_convert typeof pg_typeof
		try_to_number abs ceil ceiling floor round trunc truncate sign sqrt cbrt power pow exp ln log log2
		log10 mod div pi sin cos tan asin acos atan atan2 degrees radians rand random width_bucket gcd lcm
		safe_divide bitand bitor lower upper initcap length len char_length character_length octet_length
		bit_length datalength trim ltrim rtrim btrim lpad rpad left right substr substring mid concat
		concat_ws replace translate reverse repeat space position strpos instr charindex locate patindex
		split_part split string_to_array array_to_string format ascii chr char nchar unicode quotename
		quote_literal quote_ident regexp_replace regexp_match regexp_matches regexp_substr regexp_instr
		regexp_count regexp_like regexp_contains regexp_extract overlay soundex difference levenshtein
		similarity starts_with ends_with startswith endswith contains like glob hex unhex encode md5 sha
		sha1 sha2 sha256 crc32 hash to_hex from_hex base64 to_base64 from_base64 printf stuff str space
		trim_array now current_timestamp current_date current_time localtime localtimestamp getdate
		getutcdate sysdate sysdatetime curdate curtime utc_timestamp today date time datetime timestamp
		date_trunc date_part extract datepart datename dateadd datediff date_add date_sub date_diff
		timestampdiff timestampadd timestamp_diff timestamp_trunc timestamp_add timestamp_sub datetime_diff
		datetime_trunc adddate subdate addtime age year quarter month week day dayofweek dayofmonth
		dayofyear weekday weekofyear hour minute second millisecond microsecond epoch last_day eomonth
		months_between add_months next_day make_date make_time make_timestamp make_interval justify_days
		justify_hours to_date to_timestamp to_char to_number to_json to_jsonb row_to_json to_days to_seconds
		from_unixtime unix_timestamp strftime julianday unixepoch str_to_date date_format time_format
		parse_date parse_timestamp format_date format_timestamp dayname monthname isdate isnumeric
		generate_series generate_date_array sequence range json_extract json_value json_query json_array
		json_object json_build_object json_build_array jsonb_build_object jsonb_build_array
		json_array_length jsonb_array_length json_array_elements jsonb_array_elements
		json_array_elements_text jsonb_array_elements_text json_each jsonb_each json_each_text
		jsonb_each_text json_tree json_keys json_object_keys jsonb_object_keys json_extract_path
		json_extract_path_text jsonb_extract_path jsonb_extract_path_text jsonb_path_query jsonb_path_exists
		json_valid json_type json_typeof jsonb_typeof json_quote json_set jsonb_set json_unquote
		json_contains json_length jsonb_strip_nulls json_extract_scalar parse_json get_json_object openjson
		json_table xmlelement xpath array_length cardinality array_append array_cat array_remove
		array_position array_contains array_to_json unnest flatten explode element_at size array_join
		array_size array_agg_distinct list_contains varchar nvarchar char text integer int bigint smallint
		tinyint decimal numeric float double real number binary varbinary bytea bit current_user
		session_user user database schema current_schema current_schemas version pg_size_pretty
		pg_total_relation_size pg_relation_size pg_table_size pg_indexes_size pg_database_size
		pg_get_viewdef pg_get_indexdef pg_get_constraintdef pg_get_functiondef col_description
		obj_description has_table_privilege has_schema_privilege format_type to_regclass object_id
		object_name col_name type_name db_name schema_name st_distance st_dwithin st_within st_contains
		st_intersects st_point st_makepoint st_setsrid st_x st_y st_astext st_asgeojson st_area st_length
		st_buffer st_transform st_geogpoint to_tsvector to_tsquery plainto_tsquery websearch_to_tsquery
		phraseto_tsquery ts_rank ts_rank_cd ts_headline match against freetext containstable rownum uuid
		gen_random_uuid uuid_generate_v4 newid total changes row_count`)
)
