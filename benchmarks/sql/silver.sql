-- The newest delivery of each order item, and the histories of customers and products, from bronze.order_items.

create schema silver;

create table silver.orders as
select
    order_item_id,
    order_id,
    customer_id,
    product_card_id as product_id,
    order_date_dateorders as order_date,
    shipping_date_dateorders as shipping_date,
    order_status,
    type as transaction_method,
    order_item_product_price as product_price,
    order_item_quantity as quantity,
    sales,
    order_item_discount as discount,
    order_item_discount_rate as discount_rate,
    order_item_total as line_total,
    order_profit_per_order as line_profit,
    order_item_profit_ratio as profit_ratio,
    days_for_shipping_real as actual_shipping_days,
    days_for_shipment_scheduled as scheduled_shipping_days,
    delivery_status,
    late_delivery_risk,
    shipping_mode,
    customer_city as store_city,
    customer_state as store_state,
    customer_country as store_country,
    customer_street as store_street,
    latitude as store_latitude,
    longitude as store_longitude,
    department_id as store_department_id,
    department_name as store_department_name,
    order_city as delivery_city,
    order_state as delivery_state,
    order_country as delivery_country,
    order_region as delivery_region,
    market as delivery_market,
    order_zipcode as delivery_zipcode,
    landing_date,
    source_file,
    row_hash
from bronze.order_items
qualify row_number() over (
    partition by order_item_id order by landing_date desc, source_file desc, row_hash desc
) = 1;

-- The instant at which a delivered row takes effect: its order's, clamped into the landing date.
create macro effective_at(order_date, landing_date) as greatest(
    landing_date::timestamp, least(order_date, landing_date::timestamp + interval '23:59:59.999999')
);

create table silver.dim_customers as
with effective as (  -- of the rows with equal effective_at the last one
    select
        customer_id, customer_fname, customer_lname, customer_email, customer_segment, customer_zipcode,
        effective_at(order_date_dateorders, landing_date) as effective_at,
        min(order_date_dateorders) over (partition by customer_id) as earliest
    from bronze.order_items
    qualify lead(effective_at) over (
        partition by customer_id
        order by effective_at, order_date_dateorders, order_id, order_item_id, landing_date, source_file, row_hash
    ) is distinct from effective_at
),
compared as (
    select
        *,
        row_number() over by_time = 1
        or lag(customer_segment) over by_time is distinct from customer_segment
        or lag(customer_zipcode) over by_time is distinct from customer_zipcode as begins
    from effective
    window by_time as (partition by customer_id order by effective_at)
),
numbered as (
    select *, count(*) filter (begins) over (partition by customer_id order by effective_at) as version
    from compared
),
versions as (
    select
        customer_id,
        version,
        arg_max(
            struct_pack(
                firstname := customer_fname, lastname := customer_lname, email := customer_email,
                segment := customer_segment, zipcode := customer_zipcode
            ),
            effective_at
        ) as latest,
        -- The first version also covers the earliest order.
        case version when 1 then least(min(effective_at), min(earliest)) else min(effective_at) end as valid_from
    from numbered
    group by customer_id, version
)
select
    sha256(customer_id || ':' || epoch_us(valid_from)) as customer_key,
    customer_id,
    latest.firstname as customer_firstname,
    latest.lastname as customer_lastname,
    latest.email as customer_email_hash,
    latest.segment as customer_segment,
    latest.zipcode as customer_zipcode,
    valid_from,
    lead(valid_from) over by_version as valid_to,
    lead(valid_from) over by_version is null as is_current
from versions
window by_version as (partition by customer_id order by version);

create table silver.dim_products as
with effective as (
    select
        product_card_id as product_id, product_name, category_id, category_name, product_price, product_status,
        effective_at(order_date_dateorders, landing_date) as effective_at,
        min(order_date_dateorders) over (partition by product_card_id) as earliest
    from bronze.order_items
    qualify lead(effective_at) over (
        partition by product_card_id
        order by effective_at, order_date_dateorders, order_id, order_item_id, landing_date, source_file, row_hash
    ) is distinct from effective_at
),
compared as (
    select
        *,
        row_number() over by_time = 1
        or lag(product_price) over by_time is distinct from product_price
        or lag(category_id) over by_time is distinct from category_id
        or lag(category_name) over by_time is distinct from category_name
        or lag(product_status) over by_time is distinct from product_status as begins
    from effective
    window by_time as (partition by product_id order by effective_at)
),
numbered as (
    select *, count(*) filter (begins) over (partition by product_id order by effective_at) as version
    from compared
),
versions as (
    select
        product_id,
        version,
        arg_max(
            struct_pack(
                name := product_name, category_id := category_id, category_name := category_name,
                price := product_price, is_notavailable := product_status
            ),
            effective_at
        ) as latest,
        case version when 1 then least(min(effective_at), min(earliest)) else min(effective_at) end as valid_from
    from numbered
    group by product_id, version
)
select
    sha256(product_id || ':' || epoch_us(valid_from)) as product_key,
    product_id,
    latest.name as product_name,
    latest.category_id as category_id,
    latest.category_name as category_name,
    latest.price as product_price,
    latest.is_notavailable as is_notavailable,
    valid_from,
    lead(valid_from) over by_version as valid_to,
    lead(valid_from) over by_version is null as is_current
from versions
window by_version as (partition by product_id order by version);
