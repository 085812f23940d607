package db

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jmoiron/sqlx/reflectx"
)

// Rows of PostgreSQL are scanned by sqlx's rules, as those of SQLite are: columns go to the
// fields with their names in db tags, and one that has no field is an error.

var mapper = reflectx.NewMapperFunc("db", strings.ToLower)

// shape is a type and a text, whose columns do not change.
type shape struct {
	of    reflect.Type
	query string
}

var traversals sync.Map // shape → [][]int

func fields(of reflect.Type, query string, rows pgx.Rows) ([][]int, error) {
	key := shape{of, query}
	if t, ok := traversals.Load(key); ok {
		if found := t.([][]int); len(found) == len(rows.FieldDescriptions()) {
			return found, nil
		}
	}
	var names []string
	for _, f := range rows.FieldDescriptions() {
		names = append(names, f.Name)
	}
	found := mapper.TraversalsByName(of, names)
	for i, path := range found {
		if len(path) == 0 {
			return nil, fmt.Errorf("missing destination name %s in %s", names[i], of)
		}
	}
	if keptText(query) {
		traversals.Store(key, found)
	}
	return found, nil
}

// single reports whether a value of the type takes one column.
func single(of reflect.Type) bool {
	if of.Kind() != reflect.Struct || reflect.PointerTo(of).Implements(reflect.TypeFor[sql.Scanner]()) {
		return true
	}
	return len(mapper.TypeMap(of).Index) == 0
}

func scanOne(rows pgx.Rows, dest any, query string) error {
	v := reflect.ValueOf(dest)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("db: Get wants a pointer, not %T", dest)
	}
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return ErrNoRows
	}
	if single(v.Type().Elem()) {
		return rows.Scan(dest)
	}
	paths, err := fields(v.Type().Elem(), query, rows)
	if err != nil {
		return err
	}
	return scanInto(rows, v.Elem(), paths, make([]any, len(paths)))
}

func scanInto(rows pgx.Rows, v reflect.Value, paths [][]int, into []any) error {
	for i, path := range paths {
		into[i] = reflectx.FieldByIndexes(v, path).Addr().Interface()
	}
	return rows.Scan(into...)
}

func scanAll(rows pgx.Rows, dest any, query string) error {
	v := reflect.ValueOf(dest)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Slice {
		return fmt.Errorf("db: Select wants a pointer to a slice, not %T", dest)
	}
	list := v.Elem()
	item := list.Type().Elem()
	pointers := item.Kind() == reflect.Pointer && !item.Implements(reflect.TypeFor[sql.Scanner]())
	if pointers {
		item = item.Elem()
	}
	var (
		paths [][]int
		into  []any
		err   error
	)
	one := single(item)
	for rows.Next() {
		row := reflect.New(item)
		switch {
		case one:
			err = rows.Scan(row.Interface())
		default:
			if paths == nil {
				if paths, err = fields(item, query, rows); err != nil {
					return err
				}
				into = make([]any, len(paths))
			}
			err = scanInto(rows, row.Elem(), paths, into)
		}
		if err != nil {
			return err
		}
		if !pointers {
			row = row.Elem()
		}
		list.Set(reflect.Append(list, row))
	}
	return rows.Err()
}

// plainArgs makes of each argument what database/sql would: nil, int64, float64, bool, []byte,
// string or time.Time.
func plainArgs(args []any) ([]any, error) {
	if len(args) == 0 {
		return nil, nil
	}
	out := make([]any, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case nil, string, int64, bool, []byte:
			out[i] = v
		case int:
			out[i] = int64(v)
		case Time:
			out[i] = v.UnixMicro()
		case *Time:
			if v != nil {
				out[i] = v.UnixMicro()
			}
		default:
			var err error
			if out[i], err = driver.DefaultParameterConverter.ConvertValue(a); err != nil {
				return nil, fmt.Errorf("argument %d: %w", i+1, err)
			}
		}
	}
	return out, nil
}
