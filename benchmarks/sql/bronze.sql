-- Landed lines, typed. Variables: landing (a glob of CSV files in UTF-8 below dt=YYYY-MM-DD folders), email_secret.

create schema bronze;

-- Trimmed, inner blanks collapsed, empty is NULL. Few values have blanks to collapse: a look is cheaper than a regex.
create macro clean(field) as nullif(
    trim(
        case
            when contains(field, '  ') or contains(field, chr(9)) or contains(field, chr(160))
                then regexp_replace(field, '[\s\x{a0}]+', ' ', 'g')
            else field
        end
    ),
    ''
);
create macro moment(field) as try_strptime(field, ['%m/%d/%Y %H:%M', '%d-%m-%Y %H:%M']);
create macro flag(field) as case lower(field) when '1' then true when 'true' then true when '0' then false when 'false' then false end;

create table bronze.order_items as
with lines as (
    select clean(columns(* exclude (dt, filename))), dt, filename
    from read_csv(
        getvariable('landing'),
        all_varchar = true, header = true, delim = ',', quote = '"', escape = '"', ignore_errors = true,
        union_by_name = true, filename = true, hive_partitioning = true, hive_types = {'dt': date}
    )
),
typed as (
    select
        "Type" as type,
        try_cast("Days for shipping (real)" as integer) as days_for_shipping_real,
        try_cast("Days for shipment (scheduled)" as integer) as days_for_shipment_scheduled,
        try_cast("Benefit per order" as decimal(12, 2)) as benefit_per_order,
        try_cast("Sales per customer" as decimal(12, 2)) as sales_per_customer,
        "Delivery Status" as delivery_status,
        flag("Late_delivery_risk") as late_delivery_risk,
        try_cast("Category Id" as integer) as category_id,
        "Category Name" as category_name,
        "Customer City" as customer_city,
        "Customer Country" as customer_country,
        sha256(getvariable('email_secret') || lower("Customer Email")) as customer_email,
        "Customer Fname" as customer_fname,
        try_cast("Customer Id" as bigint) as customer_id,
        "Customer Lname" as customer_lname,
        null::varchar as customer_password,
        "Customer Segment" as customer_segment,
        "Customer State" as customer_state,
        "Customer Street" as customer_street,
        "Customer Zipcode" as customer_zipcode,
        try_cast("Department Id" as integer) as department_id,
        "Department Name" as department_name,
        try_cast("Latitude" as decimal(11, 8)) as latitude,
        try_cast("Longitude" as decimal(11, 8)) as longitude,
        "Market" as market,
        "Order City" as order_city,
        "Order Country" as order_country,
        try_cast("Order Customer Id" as bigint) as order_customer_id,
        moment("order date (DateOrders)") as order_date_dateorders,
        try_cast("Order Id" as bigint) as order_id,
        try_cast("Order Item Cardprod Id" as bigint) as order_item_cardprod_id,
        try_cast("Order Item Discount" as decimal(12, 2)) as order_item_discount,
        try_cast("Order Item Discount Rate" as decimal(7, 4)) as order_item_discount_rate,
        try_cast("Order Item Id" as bigint) as order_item_id,
        try_cast("Order Item Product Price" as decimal(12, 2)) as order_item_product_price,
        try_cast("Order Item Profit Ratio" as decimal(7, 4)) as order_item_profit_ratio,
        try_cast("Order Item Quantity" as integer) as order_item_quantity,
        try_cast("Sales" as decimal(12, 2)) as sales,
        try_cast("Order Item Total" as decimal(12, 2)) as order_item_total,
        try_cast("Order Profit Per Order" as decimal(12, 2)) as order_profit_per_order,
        "Order Region" as order_region,
        "Order State" as order_state,
        "Order Status" as order_status,
        "Order Zipcode" as order_zipcode,
        try_cast("Product Card Id" as bigint) as product_card_id,
        try_cast("Product Category Id" as integer) as product_category_id,
        "Product Description" as product_description,
        "Product Image" as product_image,
        "Product Name" as product_name,
        try_cast("Product Price" as decimal(12, 2)) as product_price,
        flag("Product Status") as product_status,
        moment("shipping date (DateOrders)") as shipping_date_dateorders,
        "Shipping Mode" as shipping_mode,
        dt as landing_date,
        regexp_extract(filename, '[^/]+/[^/]+$') as source_file
    from lines
)
select typed.*, sha256(typed::varchar) as row_hash
from typed
where
    order_item_id is not null
    and order_id is not null
    and customer_id is not null
    and product_card_id is not null
    and order_date_dateorders is not null
    and order_status is not null
    and order_item_quantity > 0
    and product_price > 0;
